"""What the Azure ML SDK does not check in its YAML files before a submission.

The SDK checks the shape of each file. This checks what holds the files, the commands and the package together, which
would otherwise show minutes later, on a node that has been paid for.
"""
