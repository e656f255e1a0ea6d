"""The JSON sidecars of an image-text dataset, as a table and caption files, on Dask."""
