// The page: four scenes, each with its WebSocket, and a feed with one for each viewer. The chats connect at once, the
// videos when asked.

import { chatWithMany, chatWithOneself } from "./chat.js";
import { viewers } from "./viewers.js";
import { video, videoWithControl } from "./video.js";

chatWithOneself(document.getElementById("oneself"));
chatWithMany(document.getElementById("many"));
video(document.getElementById("video"));
videoWithControl(document.getElementById("control"));
viewers(document.getElementById("feed"), document.getElementById("viewer"));
