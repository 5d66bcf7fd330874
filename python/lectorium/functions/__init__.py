"""Functions of tensors under PyTorch's names: ``lt.cat``, ``lt.max`` … and the methods made of them."""
