"""The code under the book: models, training, masking, analysis and judgement."""

import os

# Large tensors on huge pages, where the system offers them on request (Linux): a tenth of the training time.
# Torch looks at this before its first allocation.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
