"""Several processes in one, of which one goes on at a time: threads that hand over between any two of their steps."""

import threading


class Turns:
    """Runs some functions at once, each a thread, in an order that a seed decides."""

    def __init__(self, draw):
        self._draw, self._waiting, self._now = draw, [], None
        self._changed = threading.Condition()
        self._faults = []

    def run(self, works):
        """Returns when all of them have; raises what one of them raised."""
        threads = [threading.Thread(target=self._work, args=(number, work)) for number, work in enumerate(works)]
        self._waiting = list(range(len(works)))
        self._now = self._draw.choice(self._waiting)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._faults:
            raise self._faults[0]

    def pass_on(self):
        """Let another go on, or the same."""
        me = int(threading.current_thread().name)
        with self._changed:
            self._next()
            self._changed.wait_for(lambda: self._now == me)

    def _next(self):
        self._now = self._draw.choice(self._waiting) if self._waiting else None
        self._changed.notify_all()

    def _work(self, me, work):
        threading.current_thread().name = str(me)
        with self._changed:
            self._changed.wait_for(lambda: self._now == me)
        try:
            work()
        except BaseException as fault:  # told by the thread that waits for all
            self._faults.append(fault)
        with self._changed:
            self._waiting.remove(me)
            self._next()
