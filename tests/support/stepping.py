"""A piece of work that stops after each of its steps: it runs in a thread, and one of the two at a time."""

import threading
from queue import Queue

from tests.support.products import Killed


def steps_of(work):
    """The names of the steps as ``work(on_step)`` takes them. Closed before the end, it ends at the step it is at."""
    told, go = Queue(), Queue()

    def on_step(name):
        told.put(name)
        if not go.get():
            raise Killed

    def run():
        try:
            if go.get():
                work(on_step)
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001  carried to whoever takes the steps
            told.put(error)
        told.put(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while True:
            go.put(True)
            step = told.get()
            if isinstance(step, BaseException):
                raise step
            if step is None:
                return
            yield step
    finally:
        go.put(False)
        thread.join()
