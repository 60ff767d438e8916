"""Text to memory-mapped tokens: corpora, tokenizers, shards."""
