"""Text ↔ token ids, and chat templates. What strangers wrote of them runs in a process of its own."""
