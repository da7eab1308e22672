"""DICOM: attributes, pixels, SOP Classes, UIDs. Pure; no network, no store."""
