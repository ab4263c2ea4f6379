"""The studio: a local page, and the HTTP service under it.

`server` opens the socket, `opening` shows the page before the rest is loaded, `guard` decides who
may ask, `app` has the routes, `batching` joins what waits, `opened` is a model in use, `pictures`
and `forms` are what the page is sent, `training` is the training in a process of its own. The page
is `page/`.
"""
