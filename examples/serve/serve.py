"""A server of face landmarks: POST a picture to /faces and get its faces as JSON.

pip install 'kfacealign[detector]' fastapi uvicorn
uvicorn serve:app --app-dir examples/serve
curl --data-binary @photo.jpg http://127.0.0.1:8000/faces
"""

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from kfacealign import FaceLandmarks
from kfacealign.data import image_files

LARGEST = 2**25  # bytes of a picture
image_files.limit_pixels(50_000_000)
landmarker = FaceLandmarks(threads=1)  # may be shared by threads
app = FastAPI()


def faces_in(content: bytes) -> list[dict]:
    return [face.to_dict() for face in landmarker(image_files.decode(content))]


@app.post("/faces")
async def faces(request: Request) -> list[dict]:
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > LARGEST:
            raise HTTPException(413, f"a picture may have {LARGEST} bytes")
    try:
        return await run_in_threadpool(faces_in, bytes(content))
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
