"""A WSGI application that loads one module with itself and another one late."""
import os
import sys
import time

import page


def late():
    import plugin  # by the first who asks for it
    return plugin.VERSION


def news():
    import added  # a file that only v2 has
    return added.VERSION


def slow():
    """Goes on when the test has made a file."""
    yield b"begun\n"
    while not os.path.exists("/share/go"):
        time.sleep(0.01)
    yield page.VERSION.encode() + b"\n"


def app(environ, start_response):
    path = environ["PATH_INFO"]
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/slow":
        return slow()
    answers = {"/": lambda: page.VERSION, "/late": late, "/news": news, "/python": lambda: sys.version.split()[0]}
    return [answers[path]().encode()]
