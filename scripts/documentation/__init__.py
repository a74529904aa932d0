"""The website of the documentation: what is made from the code, and how it is built."""
