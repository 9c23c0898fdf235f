"""The currencies, their decimals, and amounts of money as people read them.

Money is an int of minor units of one currency; amounts of two currencies are never added (S3).
"""

from typing import Final

# ISO 4217, list one (active codes), with ANG and BGN: they ended in 2025 and 2026, and topics have
# older events.
_CODES: Final = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN "
    "BWP BYN BZD CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN "
    "ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD "
    "JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT "
    "MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG "
    "QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT "
    "TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAD XAF XAG XAU "
    "XBA XBB XBC XBD XCD XCG XDR XOF XPD XPF XPT XSU XTS XUA XXX YER ZAR ZMW ZWG"
)

CURRENCIES: Final[tuple[str, ...]] = tuple(_CODES.split())
"""The currency codes that an order may name."""

# ISO 4217, list one, "minor unit", as published by SIX (read 2026-11); ANG and BGN as published
# last.
_OTHER_DECIMALS: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_NO_MINOR_UNIT: Final = "XAG XAU XBA XBB XBC XBD XDR XPD XPT XSU XTS XXX XUA"
"""The standard gives these no minor unit ("N.A."): amounts are in whole units."""

DECIMALS: Final[dict[str, int]] = (
    dict.fromkeys(CURRENCIES, 2)
    | {code: decimals for decimals, codes in _OTHER_DECIMALS.items() for code in codes.split()}
    | dict.fromkeys(_NO_MINOR_UNIT.split(), 0)
)
"""By currency: how many digits of an amount in minor units are decimals."""


def shown(currency: str | None, minor: int) -> str:
    """An amount as people read it, without the currency's code.

    123450 minor units are `1,234.50` in USD, and 1235 are `1,235` in JPY. For an unknown currency
    the text says that the amount is in minor units.
    """
    decimals = None if currency is None else DECIMALS.get(currency)
    if decimals is None:
        return f"{minor:,} minor units"
    whole, part = divmod(abs(minor), 10**decimals)
    sign = "-" if minor < 0 else ""
    return f"{sign}{whole:,}" + (f".{part:0{decimals}}" if decimals else "")
