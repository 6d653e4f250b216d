"""Writes h5py.h5 and huge_claim.h5 (h5py 3.16): files of another writer, for tests/core/hdf5_test.cpp."""

import pathlib

import h5py
import numpy

here = pathlib.Path(__file__).parent
with h5py.File(here / "h5py.h5", "w", libver="earliest") as file:
    halves = (numpy.arange(300, dtype=numpy.float32) / 2).reshape(30, 10)
    data = file.create_dataset("float", data=halves, chunks=(10, 10), shuffle=True, compression="gzip")
    data.attrs["count"] = 300
    data.attrs["step"] = 0.5
    data.attrs["meaning"] = "half steps"
    data.attrs["yes"] = True
    data.attrs["no"] = False
    file["float16"] = numpy.array([0.25, 0.5], dtype=numpy.float16)
    file["integers"] = numpy.array([-3, 0, 7], dtype=">i2")
    file["bool"] = numpy.array([True, False, True])
    file["text"] = "h\u00e9llo"
    file["texts"] = numpy.array([b"ab", b"c", b""])
    file["vlen"] = ["x", "", "longer"]
    file["nested/deep/value"] = 5

with h5py.File(here / "huge_claim.h5", "w") as file:
    file.create_dataset("x", (2**40,), dtype="f8", chunks=(1024,))
