"""The kernels in C; everything else of the build stands in pyproject.toml."""

from pathlib import Path

from setuptools import Extension, setup

KERNELS = Path("damcli", "kernels")

setup(
    ext_modules=[
        Extension(
            "damcli.kernels._compiled",
            sources=sorted(map(str, KERNELS.glob("*.c"))),
            depends=[str(KERNELS / "kernels.h")],
            extra_compile_args=["-O3", "-fopenmp-simd", "-Wall", "-Wextra"],
            py_limited_api=True,
            optional=True,  # without a C compiler the installation goes on, and damcli without them
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
