"""What `.empiar` holds: what EMPIAR says of entries, as small files and links beside the data.

    below           there is
    --------------  ------------------------------------------------------------------------
    an entry        README.txt, entry.json, entry.xml (a link to the archive's own file),
                    citation.bib, citation.ris, files.tsv, image-sets/N (links),
                    preview.png (made when it is opened)
    the archive     README.txt, status.json, refused-names.txt, and links to entries in
                    by-doi, by-emdb, by-type and by-year

    places.py        which paths are meant
    nodes.py         the values: directories, texts, links
    notes.py         `Notes`: the node of a place
    descriptions.py  what is known of entries: asked in threads of its own
    texts.py         what stands in the files (pure)
    sheets.py        preview.png: has a program make it
    shelves.py       the links by which entries are found (pure)
    file_table.py    files.tsv, from the catalog of names

Which names there are is known without asking anybody, and so is where an entry's links of the
archive lead: they come from what is stored. Only what is inside an entry's `.empiar` is asked
of EMPIAR, one entry at a time.

Threading: safe from any thread. Whoever calls waits as long as its patience lasts and touches
neither SQLite nor a socket; two threads do that, and a third one has sheets made. They are
started when they are first needed.

Nothing is imported here: whoever shows nothing of it needs no more than `places`.
"""
