"""Access to private parts of other packages, one module for each group; the rest of Qweft does not touch them."""
