"""Hugging Face's folders (config.json, tokenizer.json, model.safetensors), of the shapes that models here can take."""
