package peer;

/** Up to so many events of users who differ, on their way through the network. Made once and filled again and again. */
final class Batch {
    final Event[] events;
    final byte[][] rows;
    final boolean[] late;
    final float[] real; // [size, Features.WIDTH]
    final int[] classes; // [size, parts]
    final float[] intent; // [size, horizons]
    final float[] nats; // [size, parts]
    int size;

    Batch(int capacity, int horizons) {
        events = new Event[capacity];
        rows = new byte[capacity][];
        late = new boolean[capacity];
        real = new float[capacity * Features.WIDTH];
        classes = new int[capacity * Model.PARTS.length];
        intent = new float[capacity * horizons];
        nats = new float[capacity * Model.PARTS.length];
    }
}
