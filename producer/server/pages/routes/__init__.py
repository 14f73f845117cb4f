"""One module a page; each has a `router`. They read, call a view's function and render."""
