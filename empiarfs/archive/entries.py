"""What EMPIAR says of its entries: its REST API, and the XML file beside the data.

    question        asked of                                  answer
    --------------  ----------------------------------------  --------------------------------
    one entry       GET <api>entry/<number>/                  JSON; if there is none, the XML
                    GET <archive><number>/<number>.xml        file of the archive
    many entries    POST <api>entry/, body "10000-10099"      JSON, without those that are
                    or "10050,10054"                          not there
    which there are the archive's root listing                numbers
    how recorded    the header of a related entry of EMDB, on the archive's server

The API and the archive are two servers: each has its own view of whether it can be reached,
and both take their connections from the machine's budget. No call here has more than two
requests under way, the second only because the first is late.

Threading: an `EntryClient` is safe from any thread. No thread and no socket before first use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from empiarfs.archive.client import ArchiveClient
from empiarfs.archive.documents import DocumentReader
from empiarfs.archive.wiring import ClientConfig, wire_to
from empiarfs.core.entries.acquisition import acquisition_from_header, header_path
from empiarfs.core.entries.from_json import Described, UnreadableError, entries_from_json
from empiarfs.core.entries.from_xml import entry_from_xml
from empiarfs.core.entries.values import Fetched
from empiarfs.errors import ArchiveError, GaveUpError, NotFoundError
from empiarfs.patience import Patience
from empiarfs.stats import Counters

# The largest recorded one has 21 KB; some entries have hundreds of image sets.
_MOST_ONE = 8 * 1024 * 1024
_MOST_MANY = 64 * 1024 * 1024
# Of the caller's patience, so that the archive's XML has its turn if the API hangs.
_API_SHARE = 0.5
_NUMBER = re.compile(r"[0-9]{5,9}")


class EntryClient:
    """Asks what entries there are, and what they hold.

    Args:
        archive: Of the archive itself; stays its owner's.
        config: How to talk to the API; `base_url` is the API's root.
        counters: Counts what happens.
        urgent: Whether the API is asked as soon as what readers of the archive wait for.

    Raises:
        ConfigError: The URL, a proxy or the certificates can't be used.
    """

    def __init__(
        self,
        archive: ArchiveClient,
        config: ClientConfig,
        counters: Counters,
        *,
        urgent: bool = True,
    ) -> None:
        self._archive = archive
        self._wire = wire_to(config, counters)
        self._api_url = self._wire.network.origin.base_url
        self._documents = DocumentReader(self._wire, urgent=urgent)

    @property
    def api_url(self) -> str:
        """URL of the API's root, with a slash at its end and without credentials."""
        return self._api_url

    def close(self) -> None:
        """End all requests to the API; those to the archive end with its client."""
        self._wire.close()

    def entry(self, number: int, *, patience: Patience) -> Fetched:
        """Return an entry, from the API or else from its XML file.

        Raises:
            NotFoundError: Neither knows it.
            ArchiveError: Neither answers usefully; what the API did.
            GaveUpError: The patience ended.
            InterruptedCallError: The caller or `close` ended it.
        """
        try:
            return self._from_api(number, patience.limit(patience.remaining_s() * _API_SHARE))
        except (ArchiveError, GaveUpError) as exc:
            failure = exc
        try:
            return self._from_xml(number, patience)
        except NotFoundError as exc:
            # The API's word on what is absent, and on why it doesn't answer, says more.
            raise failure from exc
        except ArchiveError as exc:
            raise (exc if isinstance(failure, NotFoundError) else failure) from exc

    def entries(self, numbers: Iterable[int], *, patience: Patience) -> list[Fetched]:
        """Return those of the entries that the API has, by number, with one request.

        Args:
            numbers: A `range` of numbers is asked for as one, and costs as many bytes of
                request as two of them.
            patience: Of the caller.

        Raises:
            ArchiveError: The API didn't answer usefully.
            GaveUpError: The patience ended; its cause is the last failure.
            InterruptedCallError: The caller or `close` ended it.
        """
        wanted = numbers if isinstance(numbers, range) else sorted(set(numbers))
        if not wanted:
            return []
        found = self._documents.post(
            f"{self._api_url}entry/",
            _question(wanted).encode("ascii"),
            entries_from_json,
            limit=_MOST_MANY,
            patience=patience,
        )
        return [_fetched(each) for each in found if each.entry.number in wanted]

    def numbers(self, *, patience: Patience) -> list[int]:
        """Return the numbers of all entries of the archive, ascending.

        Raises:
            ArchiveError: As `ArchiveClient.listing` says.
            GaveUpError: The patience ended.
            InterruptedCallError: The caller or the client's end ended it.
        """
        listing = self._archive.listing("", patience=patience)
        return sorted(
            int(item.name)
            for item in listing.items
            if item.is_directory and _NUMBER.fullmatch(item.name)
        )

    def header(self, emdb: str, *, patience: Patience) -> bytes:
        """Return the header of an entry of EMDB, which `acquisition_from_header` reads.

        Raises:
            NotFoundError: There is none beside this archive.
            ArchiveError: It can't be had.
            GaveUpError: The patience ended.
            InterruptedCallError: The caller or the client's end ended it.
        """

        def read(body: bytes) -> bytes:
            acquisition_from_header(emdb, body)
            return body

        path = header_path(emdb)
        return self._archive.neighbour(path, read, limit=_MOST_ONE, patience=patience)

    def _from_api(self, number: int, patience: Patience) -> Fetched:
        url = f"{self._api_url}entry/{number}/"

        def read(body: bytes) -> list[Described]:
            answered = entries_from_json(body)
            found = [each for each in answered if each.entry.number == number]
            if answered and not found:
                raise UnreadableError(f"an answer about {answered[0].entry.accession}")
            return found

        unknown = NotFoundError(f"EMPIAR knows no entry EMPIAR-{number}", url=url)
        try:
            found = self._documents.get(url, read, limit=_MOST_ONE, patience=patience)
        except NotFoundError as exc:
            raise unknown from exc
        if not found:
            raise unknown
        return _fetched(found[0])

    def _from_xml(self, number: int, patience: Patience) -> Fetched:
        def read(body: bytes) -> Fetched:
            entry = entry_from_xml(body)
            if entry.number != number:
                raise UnreadableError(f"the XML of EMPIAR-{entry.number}")
            return Fetched(entry, "xml", body)

        path = f"{number}/{number}.xml"
        return self._archive.document(path, read, limit=_MOST_ONE, patience=patience)


def _question(numbers: range | list[int]) -> str:
    """Return the body that asks for these: "10000-10099" or "10050,10054"."""
    if isinstance(numbers, range):
        return f"{numbers[0]}-{numbers[-1]}"
    return ",".join(map(str, numbers))


def _fetched(each: Described) -> Fetched:
    return Fetched(each.entry, "api", each.document)
