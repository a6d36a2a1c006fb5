"""Training a model: backbones and heads, data, the loop, and what watches over it."""
