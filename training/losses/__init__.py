"""The four losses of the paper (section III-D and Eq. 5) and their sum (Eq. 13)."""
