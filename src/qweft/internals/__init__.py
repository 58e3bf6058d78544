"""Private parts of other packages, a module for each: nothing else in Qweft reaches into them."""
