"""The methods of Tensor that are not functions of `functions` or `ops` too."""
