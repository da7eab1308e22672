"""Every way in: DICOM, the upload page, folders and sticks; all through one door, `admit`."""
