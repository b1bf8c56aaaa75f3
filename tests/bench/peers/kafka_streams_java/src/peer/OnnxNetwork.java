package peer;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OnnxValue;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * By ONNX Runtime, on direct buffers that are made once: tensors of each size are made at its first use and kept, and
 * outputs are pinned, so that a run copies nothing but what is the rows'. One thread, since the stream threads are what
 * is to keep the CPUs busy.
 */
final class OnnxNetwork implements Network {
    private static final OrtEnvironment ENVIRONMENT = OrtEnvironment.getEnvironment();
    private static OrtSession session; // of all tasks: its weights are only read

    private record Tensors(Map<String, OnnxTensor> inputs, Map<String, OnnxValue> outputs) {}

    private final int hidden;
    private final int horizons;
    private final Rows rows;
    private final LongBuffer action;
    private final FloatBuffer real;
    private final LongBuffer classes;
    private final ByteBuffer[] carries = new ByteBuffer[4]; // h and c before, and after
    private final FloatBuffer intent;
    private final FloatBuffer nats;
    private final Tensors[] bySize;
    private final long[] longs;

    OnnxNetwork(Model model, Rows rows, int capacity) {
        this.rows = rows;
        hidden = model.hidden;
        horizons = model.horizons.length;
        int parts = Model.PARTS.length;
        action = direct(capacity * Long.BYTES).asLongBuffer();
        real = direct(capacity * Features.WIDTH * Float.BYTES).asFloatBuffer();
        classes = direct(capacity * parts * Long.BYTES).asLongBuffer();
        for (int i = 0; i < carries.length; i++) {
            carries[i] = direct(capacity * hidden * Float.BYTES);
        }
        intent = direct(capacity * horizons * Float.BYTES).asFloatBuffer();
        nats = direct(capacity * parts * Float.BYTES).asFloatBuffer();
        bySize = new Tensors[capacity + 1];
        longs = new long[capacity * parts];
        open(model);
    }

    private static synchronized void open(Model model) {
        if (session != null) {
            return;
        }
        try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
            options.setIntraOpNumThreads(1);
            options.setInterOpNumThreads(1);
            options.setExecutionMode(OrtSession.SessionOptions.ExecutionMode.SEQUENTIAL);
            options.setOptimizationLevel(OrtSession.SessionOptions.OptLevel.ALL_OPT);
            options.addConfigEntry("session.intra_op.allow_spinning", "0");
            session = ENVIRONMENT.createSession(model.onnx.toString(), options);
        } catch (OrtException error) {
            throw new IllegalStateException(model.onnx + ": ONNX Runtime cannot load it", error);
        }
    }

    @Override
    public void step(Batch batch) {
        int size = batch.size;
        int bytes = hidden * Float.BYTES;
        for (int i = 0; i < size; i++) {
            action.put(i, batch.events[i].action);
            carries[0].put(i * bytes, batch.rows[i], rows.carry, bytes);
            carries[1].put(i * bytes, batch.rows[i], rows.carry + bytes, bytes);
        }
        int parts = size * Model.PARTS.length;
        for (int i = 0; i < parts; i++) {
            longs[i] = batch.classes[i];
        }
        classes.put(0, longs, 0, parts);
        real.put(0, batch.real, 0, size * Features.WIDTH);
        try {
            Tensors tensors = bySize[size] == null ? tensors(size) : bySize[size];
            session.run(tensors.inputs, tensors.outputs).close(); // pinned outputs stay open
        } catch (OrtException error) {
            throw new IllegalStateException("ONNX Runtime refused " + size + " users", error);
        }
        intent.get(0, batch.intent, 0, size * horizons);
        nats.get(0, batch.nats, 0, parts);
        for (int i = 0; i < size; i++) {
            carries[2].get(i * bytes, batch.rows[i], rows.carry, bytes);
            carries[3].get(i * bytes, batch.rows[i], rows.carry + bytes, bytes);
        }
    }

    private Tensors tensors(int size) throws OrtException {
        Map<String, OnnxTensor> inputs = new LinkedHashMap<>();
        inputs.put("action", OnnxTensor.createTensor(ENVIRONMENT, action.slice(0, size), new long[] {size}));
        inputs.put("real", floats(real, size, Features.WIDTH));
        long[] shape = {size, Model.PARTS.length};
        inputs.put("classes", OnnxTensor.createTensor(ENVIRONMENT, classes.slice(0, size * Model.PARTS.length), shape));
        inputs.put("h", floats(carries[0].asFloatBuffer(), size, hidden));
        inputs.put("c", floats(carries[1].asFloatBuffer(), size, hidden));
        Map<String, OnnxValue> outputs = new LinkedHashMap<>();
        outputs.put("intent", floats(intent, size, horizons));
        outputs.put("nats", floats(nats, size, Model.PARTS.length));
        outputs.put("h_out", floats(carries[2].asFloatBuffer(), size, hidden));
        outputs.put("c_out", floats(carries[3].asFloatBuffer(), size, hidden));
        bySize[size] = new Tensors(inputs, outputs);
        return bySize[size];
    }

    private static OnnxTensor floats(FloatBuffer buffer, int rows, int columns) throws OrtException {
        return OnnxTensor.createTensor(ENVIRONMENT, buffer.slice(0, rows * columns), new long[] {rows, columns});
    }

    private static ByteBuffer direct(int bytes) {
        return ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
    }
}
