"""What weights and masks say: Fourier spectra, the graph of a mask, and what is kept of a run's weights."""
