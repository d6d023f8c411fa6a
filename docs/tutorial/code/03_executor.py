import concurrent.futures
import os
import signal

import covey

offset = 1000

with covey.Executor(max_workers=2) as executor:
    squares = executor.map(lambda n: n * n + offset, range(5))
    print(list(squares))

    doomed = executor.submit(lambda: os.kill(os.getpid(), signal.SIGKILL))
    fine = executor.submit(sum, [1, 2, 3])
    concurrent.futures.wait([doomed, fine])
    print(type(doomed.exception()).__name__, fine.result())
