"""Where images come from: folders, lists, packed files; decoding and framing."""
