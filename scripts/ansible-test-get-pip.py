#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Stands where `ansible-test` keeps the script that brings pip into its own virtual environments, so that it downloads
none: Debian keeps pip beside its Python. What is asked for then comes from the package index, as everywhere.
"""
import pathlib
import subprocess
import sys

BOOTSTRAP_ONLY = {"--no-setuptools", "--no-wheel"}  # options of that script, unknown to pip

wheel = next(pathlib.Path(sys.base_prefix, "share/python-wheels").glob("pip-*.whl"))
subprocess.run([sys.executable, wheel / "pip", "install", "--no-index", wheel], check=True, stdout=subprocess.DEVNULL)
wanted = [argument for argument in sys.argv[1:] if argument not in BOOTSTRAP_ONLY]
subprocess.run([sys.executable, "-m", "pip", "install", *wanted], check=True)
