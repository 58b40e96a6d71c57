"""The code under the book: what is trained, its records, their analysis, and the claims that they judge."""

import os

# Both before torch is first used, which reads them once.
# Large tensors on huge pages, where the system offers them on request (Linux): a tenth of the training time.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
# The same bits from MKL wherever in memory a matrix lies, and so wherever in a stack a run stands; a few percent.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
