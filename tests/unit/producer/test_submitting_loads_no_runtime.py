import subprocess
import sys


def test_sources_and_exports_import_neither_opencv_nor_the_engine():
    program = """
import sys
import producer.exports, producer.sources
for name in producer.exports.known_formats():
    producer.exports.find_format(name)
heavy = {"cv2", "torch", "onnxruntime", "inference_engine", "workers", "pyarrow", "boto3", "av"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
