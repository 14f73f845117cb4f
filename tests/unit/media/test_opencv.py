"""The first import of OpenCV, by many threads at once."""

import subprocess
import sys

PROGRAM = """
import threading
from concurrent.futures import ThreadPoolExecutor
from inference_engine.opencv import import_cv2

gate = threading.Barrier(8)

def first_use(_):
    gate.wait(30)
    return import_cv2().imdecode is not None

with ThreadPoolExecutor(8) as threads:
    print(all(threads.map(first_use, range(8))))
"""


def test_threads_that_decode_their_first_picture_at_once_all_get_the_whole_library():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)

    assert (done.stdout.strip(), done.stderr) == ("True", "")
