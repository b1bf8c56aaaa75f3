"""The same job as the service's, done with other stream processors, as their own experts would do it."""
