"""The limited child process that turns untrusted bytes into pixels.

Image decoders are C code that reads what strangers wrote. They run here, in a process of their
own with bounded memory, time and no right to write a file, and one bad file costs one error.
The parent believes nothing that comes back: no pickle, every length and type is checked.

`parent` is what the appliance holds; `child` is the process, and alone loads the decoders.
"""
