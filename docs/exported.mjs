// An exported detector in a web page: npm install onnxruntime-web
import * as ort from "onnxruntime-web";

const session = await ort.InferenceSession.create("exported/detector.onnx");

export async function judge(pixels) { // a Uint8Array of raw digits, one after the other
  const x = new ort.Tensor("uint8", pixels, [pixels.length / 784, 28, 28]);
  const { score, p_value, anomaly } = await session.run({ x });
  return { score: [...score.data], p: [...p_value.data], anomaly: [...anomaly.data] };
}
