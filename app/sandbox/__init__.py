"""A Cordial to rehearse with: the REST API v2 as this service uses it, in memory, with faults.

The letters in comments say how a rule is known: S Cordial's Swagger file of API v2, H its help
centre, R recorded real answers, C code of working clients, ? not published. An open question that
a client could notice is one of the `Switches`; the others are settled where they arise.
"""
