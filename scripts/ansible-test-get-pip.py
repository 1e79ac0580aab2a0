#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Stands where `ansible-test` keeps the script that brings pip into its own virtual environments, so that it downloads
none: Python has brought pip along. What is asked for then comes from the package index, as everywhere.
"""
import subprocess
import sys

BOOTSTRAP_ONLY = {"--no-setuptools", "--no-wheel"}  # options of that script, unknown to pip

subprocess.run([sys.executable, "-m", "ensurepip", "--upgrade"], check=True, stdout=subprocess.DEVNULL)
wanted = [argument for argument in sys.argv[1:] if argument not in BOOTSTRAP_ONLY]
subprocess.run([sys.executable, "-m", "pip", "install", *wanted], check=True)
