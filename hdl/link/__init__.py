"""Peer links: streams of vectors from socket to socket, over wires that may corrupt and lose words."""
