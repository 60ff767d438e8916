"""Training data: corpora, tokenizers, memory-mapped token files, batches."""
