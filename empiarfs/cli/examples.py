"""An example or two for each command, as `--help` and the reference show them.

Each is a line that could be typed, and what it is for. They are parsed in a test, so that
none has an option that there isn't.
"""

from __future__ import annotations

Examples = tuple[tuple[str, str], ...]

EXAMPLES: dict[str, Examples] = {
    "search": (
        ("empiarfs search ribosome --format EER", "ribosomes, recorded as EER"),
        ("empiarfs search --emdb EMD-12602", "what a map of EMDB was made from"),
        ("empiarfs search --max-size 50G --released 2024-01..", "small and recent entries"),
    ),
    "info": (
        ("empiarfs info EMPIAR-10934", "an entry: authors, size, image sets"),
        ("empiarfs info 10934/data/stack.mrcs", "a file: pixels, pixel size, labels"),
    ),
    "ls": (
        ("empiarfs ls -l EMPIAR-10934/data", "names, exact sizes and times"),
        ("empiarfs ls 10934/data --role movies --url", "URLs of movies, for other programs"),
    ),
    "find": (
        ("empiarfs find 10934 -name '*.eer' --size 1G..", "big EER files"),
        ("empiarfs find 10934 --role movies --sample 20", "twenty movies by chance"),
    ),
    "du": (
        ("empiarfs du EMPIAR-10934", "how big an entry is, exactly"),
        ("empiarfs du --estimate -d 1 10934/data", "roughly, by directory, with few requests"),
    ),
    "tree": (("empiarfs tree -L 2 EMPIAR-10934", "the uppermost two levels"),),
    "cat": (("empiarfs cat 10934/data/particles.star > particles.star", "one small file"),),
    "head": (
        ("empiarfs head 10934/data/particles.star", "the first ten lines"),
        ("empiarfs head -c 1024 10934/data/stack.mrcs > header", "the header of a stack"),
    ),
    "preview": (
        ("empiarfs preview 10934/data/movies/movie_001.tif", "an average of frames, and spectrum"),
        ("empiarfs preview EMPIAR-10934 --role movies -o sheet.png", "a sheet of 24 movies"),
        ("empiarfs preview --sample 100 10934/data/stack.mrcs", "a hundred particles"),
    ),
    "cite": (("empiarfs cite --bibtex EMPIAR-10934 >> papers.bib", "for a manuscript"),),
    "open": (("empiarfs open EMPIAR-10934", "the entry's page, in the browser"),),
    "index": (
        ("empiarfs index EMPIAR-10934", "learn all of an entry; then find and du are free"),
        ("empiarfs index 10934 --export files.tsv", "and write a table of its files"),
    ),
    "diff": (("empiarfs diff EMPIAR-10934", "what has changed since it was indexed"),),
    "catalog update": (("empiarfs catalog update", "learn what EMPIAR says of all entries"),),
    "catalog export": (("empiarfs catalog export entries.gz", "for machines without internet"),),
    "catalog import": (("empiarfs catalog import entries.gz", "what another machine exported"),),
    "get": (
        ("empiarfs get EMPIAR-10934/data/movies ~/data", "a directory, below ~/data/10934"),
        ("empiarfs get 10934 --role movies --first 10 .", "the first ten movies"),
        ("empiarfs get --verify 10934/data ~/data", "is what lies there what the archive has?"),
    ),
    "plan": (
        ("empiarfs plan EMPIAR-10934", "how much it is, whether it fits, how long it takes"),
        ("empiarfs plan 10934 --role movies /scratch --exact", "movies, to be copied to /scratch"),
        ("empiarfs plan 10934 --globus-batch list.txt", "and a list for Globus"),
    ),
    "compare": (
        ("empiarfs compare /data/empiar EMPIAR-10934", "what is missing, short or extra there?"),
        ("empiarfs compare /data/empiar 10934 --md5 sums.md5", "do the lab's checksums fit?"),
    ),
    "warm": (
        ("empiarfs warm 10934 --role micrographs", "have all micrographs in the cache"),
        ("empiarfs warm --heads 10934/data/movies", "headers, for an import dialog"),
    ),
    "pin": (
        ("empiarfs pin 10934 --role gain,metadata", "small files that each job needs"),
        ("empiarfs pin --list", "what is pinned, and how much room that takes"),
    ),
    "unpin": (("empiarfs unpin EMPIAR-10934/data", "all that is pinned below a directory"),),
    "cache dir": (("empiarfs cache dir -v", "where it is, and why there"),),
    "cache list": (("empiarfs cache list", "what it holds of each entry"),),
    "cache size": (
        ("empiarfs cache size", "how full it is"),
        ("empiarfs cache size 200G", "let it grow, also below a running mount"),
    ),
    "cache verify": (("empiarfs cache verify", "compare every checksum"),),
    "cache prune": (
        ("empiarfs cache prune --older-than 30d", "what nobody fetched for a month"),
        ("empiarfs cache prune --to 20G", "down to a size, oldest first"),
    ),
    "cache evict": (("empiarfs cache evict EMPIAR-10934", "one entry"),),
    "cache clean": (("empiarfs cache clean", "everything"),),
    "mount": (
        ("empiarfs mount ~/empiar", "the whole archive"),
        ("empiarfs mount --cache-dir /scratch/empiar --cache-size 500G ~/empiar", "a big cache"),
        ("empiarfs mount --local /data/empiar ~/empiar", "with the lab's own copies below"),
        ("empiarfs mount -o allow_other,wait=forever /empiar", "for all users of a machine"),
    ),
    "umount": (("empiarfs umount ~/empiar", "and wait until all is written"),),
    "status": (
        ("empiarfs status", "all mounts of yours"),
        ("empiarfs status --watch", "what they do, second by second"),
        ("empiarfs status ~/empiar/10934/data/a.mrc", "why its last reads were slow or failed"),
        ("empiarfs status --errors --since 2h", "what programs were refused, for a job script"),
    ),
    "doctor": (
        ("empiarfs doctor", "what is wrong, and what to do"),
        ("empiarfs doctor --report report.tar.gz", "all of it, without secrets, to be sent"),
    ),
    "install-helper": (
        ("empiarfs install-helper", "as root: put it in place and try it"),
        ("empiarfs install-helper --test", "as root: try it only, after an update"),
    ),
    "systemd-unit": (
        ("empiarfs systemd-unit > empiarfs.service", "for the machine, on /empiar"),
        ("empiarfs systemd-unit --user ~/empiar", "for you, on a directory of yours"),
    ),
    "config": (("empiarfs config --show-origin", "every setting, and which file it is from"),),
    "completion": (
        ("empiarfs completion bash > empiarfs.bash", "to be read by ~/.bashrc"),
        ("empiarfs completion zsh > _empiarfs", "for a directory of $fpath"),
    ),
    "man": (("empiarfs man | man -l -", "read it"),),
    "run": (("empiarfs run -- ls {}/10934/data", "one program, with a mount of its own"),),
    "demo": (
        ("empiarfs demo", "a tour on a small archive"),
        ("empiarfs demo --keep", "leave it mounted, to play with"),
    ),
}
