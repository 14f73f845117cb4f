"""One module a shape: `draw(canvas, record, blob)` puts it on the canvas."""
