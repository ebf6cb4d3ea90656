"""How each exported file is called, in the languages of those who call it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PYTHON = """### Python

```python
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

served = tf.saved_model.load("saved_model/1").signatures["serving_default"]
print(served({input}=tf.constant({server_example}))["{output}"])

runner = Interpreter("tflite/{file}").get_signature_runner("serving_default")
print(runner({input}={phone_example})["{output}"])
```
"""

_SERVING = """### TF Serving

    tensorflow_model_server --rest_api_port=8501 --model_name={model} \\
        --model_base_path=$PWD/saved_model
    curl -d '{body}' localhost:8501/v1/models/{model}:predict
{shortened}"""

_BYTES = """
An encoded image, of any size:

    echo '{{"signature_name": "serve_bytes", "instances": [{{"b64": "'$(base64 -w0 \\
        a.png)'"}}]}}' > body.json
    curl -d @body.json localhost:8501/v1/models/{model}:predict

A file that does not decode fails its whole request.
"""

_KOTLIN = """### Kotlin (Android, LiteRT)

```kotlin
val interpreter = Interpreter(File(filesDir, "{file}"))
val input = ByteBuffer.allocateDirect({in_bytes}).order(ByteOrder.nativeOrder())
// {fill}
val output = ByteBuffer.allocateDirect({out_bytes}).order(ByteOrder.nativeOrder())
interpreter.runSignature(
    mapOf("{input}" to input), mapOf("{output}" to output), "serving_default")
```
"""

_SWIFT = """### Swift (iOS, LiteRT)

```swift
let interpreter = try Interpreter(modelPath: path)  // {file}
try interpreter.allocateTensors()
try interpreter.copy(input, toInputAt: 0)  // Data, {in_bytes} bytes: {fill}
try interpreter.invoke()
let output = try interpreter.output(at: 0).data  // {out_bytes} bytes
```
"""

_CPP = """### C++ (LiteRT)

```cpp
auto model = tflite::FlatBufferModel::BuildFromFile("{file}");
tflite::ops::builtin::BuiltinOpResolver resolver;
std::unique_ptr<tflite::Interpreter> interpreter;
tflite::InterpreterBuilder(*model, resolver)(&interpreter);
auto* runner = interpreter->GetSignatureRunner("serving_default");
runner->AllocateTensors();
auto* input = runner->input_tensor("{input}")->data.{field};  // {fill}
runner->Invoke();
const auto* output = runner->output_tensor("{output}")->data.{field};
```
"""

_JAVASCRIPT = """### JavaScript (LiteRT.js)

```javascript
import {{loadLiteRt, loadAndCompile, Tensor}} from '@litertjs/core';

await loadLiteRt('wasm/');
const model = await loadAndCompile(
    'tflite/model_float32.tflite', {{accelerator: 'wasm'}});
const input = new Tensor(new Float32Array({size}), [{shape}]);  // {float_fill}
const [output] = await model.run(input);
const {output} = output.toTypedArray();
```
"""

_LEARN_PYTHON = """### Learning in Python

```python
import numpy as np
from ai_edge_litert.interpreter import Interpreter

interpreter = Interpreter("tflite/model_trainable.tflite")
train, infer, weights, restore, reset = (
    interpreter.get_signature_runner(name)
    for name in ("train", "infer", "weights", "restore", "reset"))
images = np.zeros(({batch_shape}), np.float32)  # raw pixels, 0 to 255
labels = np.zeros({batch}, np.int32)
print(train(image=images, label=labels, learning_rate=np.float32(0.01))["loss"])
print(infer(image=images[:1])["probabilities"])
np.savez("learned.npz", **weights())  # before the app ends
restore(**np.load("learned.npz"))  # after it has started
```
"""

_LEARN_KOTLIN = """### Learning in Kotlin (Android, LiteRT)

```kotlin
val interpreter = Interpreter(File(filesDir, "model_trainable.tflite"))
fun buffer(bytes: Int) =
    ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder())
val image = buffer({in_bytes})  // {batch} images of float32 raw pixels, 0 to 255
val label = buffer({label_bytes})  // {batch} int32
val rate = buffer(4).putFloat(0, 0.01f)
val loss = buffer(4)
interpreter.runSignature(
    mapOf("image" to image, "label" to label, "learning_rate" to rate),
    mapOf("loss" to loss), "train")
if (loss.getFloat(0).isNaN()) {{ /* refused: nothing was learned */ }}

// Before the app ends. runSignature wants an input: hence weights_java, reset_java.
val weights = interpreter.getSignatureOutputs("weights_java").associateWith {{
    buffer(interpreter.getOutputTensorFromSignature(it, "weights_java").numBytes()) }}
interpreter.runSignature(mapOf("ignored" to buffer(4)), weights, "weights_java")
weights.forEach {{ (name, buffer) ->
    FileOutputStream(File(filesDir, "$name.f32")).channel.use {{
        it.write(buffer.rewind() as ByteBuffer) }} }}

// After it has started.
val kept = interpreter.getSignatureInputs("restore").associateWith {{ name ->
    val bytes = File(filesDir, "$name.f32").readBytes()
    buffer(bytes.size).put(bytes).rewind() as ByteBuffer }}
interpreter.runSignature(kept, mapOf("restored" to buffer(1)), "restore")
```
"""

_LEARN_SWIFT = """### Learning in Swift (iOS, LiteRT)

```swift
let interpreter = try Interpreter(modelPath: path)  // model_trainable.tflite
let train = try interpreter.signatureRunner(with: "train")
var rate: Float32 = 0.01
try train.invoke(with: [
    "image": image,  // Data, {in_bytes} bytes: {batch} images of float32 raw pixels
    "label": label,  // Data, {label_bytes} bytes: {batch} Int32
    "learning_rate": Data(bytes: &rate, count: 4)])
let loss = try train.output(named: "loss").data.withUnsafeBytes {{
    $0.load(as: Float32.self) }}  // NaN: refused, nothing was learned

// Before the app ends.
let weights = try interpreter.signatureRunner(with: "weights")
try weights.invoke(with: [:])
for name in weights.outputs {{
    try weights.output(named: name).data.write(to: folder.appending(path: name)) }}

// After it has started.
let restore = try interpreter.signatureRunner(with: "restore")
try restore.invoke(with: Dictionary(uniqueKeysWithValues: restore.inputs.map {{
    ($0, try Data(contentsOf: folder.appending(path: $0))) }}))
```
"""

_LEARN_CPP = """### Learning in C++ (LiteRT)

```cpp
auto model = tflite::FlatBufferModel::BuildFromFile("model_trainable.tflite");
tflite::ops::builtin::BuiltinOpResolver resolver;
std::unique_ptr<tflite::Interpreter> interpreter;
tflite::InterpreterBuilder(*model, resolver)(&interpreter);
auto* train = interpreter->GetSignatureRunner("train");
train->AllocateTensors();
std::copy_n(images, {in_floats}, train->input_tensor("image")->data.f);
std::copy_n(labels, {batch}, train->input_tensor("label")->data.i32);
*train->input_tensor("learning_rate")->data.f = 0.01f;
train->Invoke();
float loss = *train->output_tensor("loss")->data.f;  // NaN: nothing was learned

// Before the app ends: what each output holds goes into a file of its name.
auto* weights = interpreter->GetSignatureRunner("weights");
weights->AllocateTensors();
weights->Invoke();
for (const char* name : weights->output_names()) {{
  const TfLiteTensor* tensor = weights->output_tensor(name);
  std::ofstream(name, std::ios::binary).write(tensor->data.raw, tensor->bytes);
}}

// After it has started.
auto* restore = interpreter->GetSignatureRunner("restore");
restore->AllocateTensors();
for (const char* name : restore->input_names()) {{
  TfLiteTensor* tensor = restore->input_tensor(name);
  std::ifstream(name, std::ios::binary).read(tensor->data.raw, tensor->bytes);
}}
restore->Invoke();
```
"""


def learning_examples(export: Mapping[str, Any]) -> list[str]:
    """Returns how ``model_trainable.tflite`` is called, a section for each language.

    Args:
        export: the content of export.json, with a record of that file.
    """
    (record,) = (r for r in export["artifacts"] if r["name"] == "trainable")
    batch, shape = record["training"]["batch_size"], export["data"]["input_shape"]
    facts = {
        "batch": batch,
        "batch_shape": ", ".join(map(str, [batch, *shape])),
        "in_floats": batch * _product(shape),
        "in_bytes": 4 * batch * _product(shape),
        "label_bytes": 4 * batch,
    }
    templates = (_LEARN_PYTHON, _LEARN_KOTLIN, _LEARN_SWIFT, _LEARN_CPP)
    return [template.format(**facts) for template in templates]


def examples(export: Mapping[str, Any]) -> list[str]:
    """Returns a section for each language, with the names and sizes of these files.

    Args:
        export: the content of export.json.
    """
    records = {record["name"]: record for record in export["artifacts"]}
    data = export["data"]
    facts: dict[str, Any] = {
        "model": export["model"],
        "shape": ", ".join(["1", *map(str, data["input_shape"])]),
        "size": _product(data["input_shape"]),
    }
    if data["num_classes"] is not None:
        zeros = f"np.zeros((1, {', '.join(map(str, data['input_shape']))}), "
        facts |= {
            "input": "image",
            "output": "probabilities",
            "server_example": f"{zeros}np.uint8)",
            "phone_example": f"{zeros}np.float32)",
            "body": '{"instances": ' + _corner(data["input_shape"][-1]) + "}",
            "shortened": "\nA corner of 2x2 pixels stands for the image here.\n",
            "float_fill": "raw pixels, 0 to 255",
        }
    else:
        facts |= {
            "input": "x",
            "output": "y",
            "server_example": "[[1.0]]",
            "phone_example": "np.float32([[1.0]])",
            "body": '{"instances": [[1.0]]}',
            "shortened": "",
            "float_fill": "x",
        }
    sections = []
    if "saved_model" in records and "float32" in records:
        sections.append(_PYTHON.format(file="model_float32.tflite", **facts))
    if "saved_model" in records:
        sections.append(_SERVING.format(**facts))
        if data["num_classes"] is not None:
            sections.append(_BYTES.format(**facts))
    if phone := records.get("int8") or records.get("float32"):
        facts |= _phone(phone, facts["float_fill"])
        sections += [t.format(**facts) for t in (_KOTLIN, _SWIFT, _CPP, _JAVASCRIPT)]
    return sections


def _phone(record: Mapping[str, Any], float_fill: str) -> dict[str, Any]:
    quantized = record["input"]["dtype"] == "uint8"
    width = 1 if quantized else 4
    return {
        "file": record["path"].split("/")[-1],
        "in_bytes": width * _product(record["input"]["shape"]),
        "out_bytes": width * _product(record["output"]["shape"]),
        "field": "uint8" if quantized else "f",
        "fill": "a byte per raw pixel" if quantized else f"float32 {float_fill}",
    }


def _product(shape: list[int]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


def _corner(channels: int) -> str:
    """Writes one image of 2x2 black pixels as JSON."""
    return str([[[[0] * channels] * 2] * 2])
