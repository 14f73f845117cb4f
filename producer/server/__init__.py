"""The HTTP interface and the pages: routes say what may be asked, `producer` and `jobstore` answer."""
