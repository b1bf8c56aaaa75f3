"""The commands of `behaviour-stream`. Nothing heavy is imported before a command that needs it runs."""

INTERRUPTED = 130  # exit code after ctrl-C: 128 + SIGINT, as shells have it
