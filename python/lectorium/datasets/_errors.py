"""What can go wrong with a data set."""


class DataError(ValueError):
    """A data file is there but is not what its format says: truncated, corrupt or of another kind.

    >>> issubclass(DataError, ValueError)
    True
    """


class DownloadError(RuntimeError):
    """A data file is not here and could not be fetched.

    >>> issubclass(DownloadError, RuntimeError)
    True
    """


class PartialDataWarning(UserWarning):
    """A local copy holds only part of a data set, and that part is used.

    >>> issubclass(PartialDataWarning, UserWarning)
    True
    """
