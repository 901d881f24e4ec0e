"""The next token of every slot, on the device, and what may replace or end it."""
