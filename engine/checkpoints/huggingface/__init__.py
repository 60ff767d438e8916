"""Hugging Face model folders: config.json, tokenizer.json, model.safetensors."""
