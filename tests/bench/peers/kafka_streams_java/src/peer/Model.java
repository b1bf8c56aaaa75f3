package peer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A model's folder: sizes, statistics and weights, and where its ONNX graph lies. */
final class Model {
    // The parts of the surprise, in order
    static final String[] PARTS = {"action", "item", "category", "gap", "rhythm", "price", "context"};
    static final int ACTION = 0;
    static final int ITEM = 1;
    static final int CATEGORY = 2;
    static final int GAP = 3;
    static final int RHYTHM = 4;
    static final int PRICE = 5;
    static final int CONTEXT = 6;
    // (part, part that it is conditioned on), in the order of the tensors given.0, given.1, ...
    static final int[][] GIVEN = {
        {ACTION, GAP}, {ITEM, ACTION}, {CATEGORY, ACTION}, {CATEGORY, ITEM}, {RHYTHM, GAP}, {PRICE, ACTION}, {PRICE, ITEM},
    };
    static final int NOTHING = -1; // the class of a part that an event says nothing about

    final Path onnx;
    final String name;
    final String hash;
    final int hidden;
    final int width;
    final int actionNumbers;
    final int sequence;
    final String[] horizons;
    final int[] partClasses;
    final long maxAheadMs;
    final long maxBehindMs;
    final double gapMean;
    final double gapStd;
    final double priceMean;
    final double priceStd;
    final JsonNode normalTraffic;

    private final JsonNode tensors;
    private final FloatBuffer weights;

    Model(Path folder) throws IOException {
        JsonNode told = new ObjectMapper().readTree(folder.resolve("model.json").toFile());
        onnx = folder.resolve("step.onnx");
        name = told.get("model").asText();
        hash = told.get("model_hash").asText();
        hidden = told.get("hidden").asInt();
        width = told.get("width").asInt();
        actionNumbers = told.get("action_numbers").asInt();
        sequence = told.get("sequence").asInt();
        horizons = texts(told.get("horizons"));
        partClasses = new int[PARTS.length];
        for (int part = 0; part < PARTS.length; part++) {
            partClasses[part] = told.get("part_classes").get(part).asInt();
        }
        maxAheadMs = told.get("bounds").get("max_ahead_ms").asLong();
        maxBehindMs = told.get("bounds").get("max_behind_ms").asLong();
        JsonNode statistics = told.get("statistics");
        gapMean = statistics.get("gap_mean").asDouble();
        gapStd = statistics.get("gap_std").asDouble();
        priceMean = statistics.get("price_mean").asDouble();
        priceStd = statistics.get("price_std").asDouble();
        normalTraffic = told.get("normal_traffic");
        tensors = told.get("tensors");
        byte[] bytes = Files.readAllBytes(folder.resolve("weights.f32"));
        weights = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer();
        if (told.get("layers").asInt() != 1 || width - actionNumbers != Features.WIDTH) {
            throw new IllegalArgumentException(
                "model: expected one layer and " + Features.WIDTH + " features, got " + told.get("layers") + " and "
                    + (width - actionNumbers));
        }
    }

    /** The rows of a matrix, or the one of a vector. */
    float[][] tensor(String tensor) {
        JsonNode shape = tensors.get(tensor).get("shape");
        int rows = shape.size() == 2 ? shape.get(0).asInt() : 1;
        int columns = shape.get(shape.size() - 1).asInt();
        int at = tensors.get(tensor).get("offset").asInt() / Float.BYTES;
        float[][] values = new float[rows][columns];
        for (int row = 0; row < rows; row++) {
            weights.get(at + row * columns, values[row]);
        }
        return values;
    }

    private static String[] texts(JsonNode array) {
        List<String> texts = new ArrayList<>();
        array.forEach(text -> texts.add(text.asText()));
        return texts.toArray(String[]::new);
    }
}
