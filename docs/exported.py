"""An exported detector without diabolo and torch: pip install numpy onnxruntime."""

import numpy as np
import onnxruntime

digits = np.load("digits.npy")  # (N, 28, 28) uint8, as they are
detector = onnxruntime.InferenceSession("exported/detector.onnx")
score, p_value, anomaly = detector.run(None, {"x": digits})
print(f"{anomaly.sum()} of {len(digits)} are anomalies; the smallest p is {p_value.min():.3g}")
model = onnxruntime.InferenceSession("exported/model.onnx")
(output,) = model.run(None, {"x": digits})
np.save("reconstructed.npy", output.round().astype(np.uint8))
