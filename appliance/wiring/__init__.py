"""The composition root: the only rooms that know every concrete class.

One module a purpose, so that each process imports what it needs: the pages carry no inference
engine, the receiver no pages.
"""
