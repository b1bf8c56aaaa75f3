package peer;

/** One step of the model for each event of a batch: fills its intent and nats, and moves on the carry in its rows. */
interface Network {
    void step(Batch batch);
}
