const found = document.cookie.includes("heliograph_frame=supported");
document.cookie = `heliograph_frame=; Max-Age=0; SameSite=Lax; Path=${location.pathname.replace("step2.html", "")}`;
parent.postMessage(found ? "supported" : "unsupported", "*");
